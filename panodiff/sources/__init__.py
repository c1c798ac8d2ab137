"""Where the radiographs come from: the catalogue of public sources, ingestion, and drawn phantoms."""

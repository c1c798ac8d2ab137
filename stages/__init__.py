"""The stages of dvc.yaml: thin scripts that read parameters, call the library once and name the outputs."""

"""What the page shows, section by section, gathered from what the stages left."""

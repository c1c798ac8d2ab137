"""The super-resolution model: HAT, its discriminator and losses, the damage that it learns to undo, its training."""

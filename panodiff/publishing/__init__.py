"""The folder to deposit: the synthetic images with what they are, where they come from and how to check them."""

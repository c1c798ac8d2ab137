"""The diffusion model: noise schedule, denoising network, its training, and drawing images with it."""

"""Methods of diffusion."""

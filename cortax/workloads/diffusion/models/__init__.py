"""Models of the diffusion signal, fitted voxel by voxel: no voxel's numbers depend on another's."""

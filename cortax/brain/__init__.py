"""Brain images, parcellations, and pictures of them."""

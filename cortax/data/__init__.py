"""Reading what a study is made of: images, region tables, phenotypes and the spaces that they live in."""

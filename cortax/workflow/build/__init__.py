"""One build: plans become jobs of Exax, and what they found is filed."""

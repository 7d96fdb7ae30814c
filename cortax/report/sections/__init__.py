"""The sections of the page, one module each: a function from `Material` to a `Section`, or None where it is empty."""

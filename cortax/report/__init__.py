"""One page of HTML for each study: what was found, how sure it is, where in the brain, and which job made it."""

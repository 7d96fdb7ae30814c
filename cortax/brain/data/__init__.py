"""Images, maps and tables of people: what a cohort comes as."""

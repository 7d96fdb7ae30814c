"""Files that any workload may read: pinned packages, tables and text."""

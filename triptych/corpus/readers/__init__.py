"""Source formats: what turns files and records into chunks."""

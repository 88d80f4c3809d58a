"""Where the rows of datasets come from: files that travel with a service, and tables behind connections."""

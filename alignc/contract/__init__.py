"""What the compiler and the job that it emits agree on; imports the standard library alone."""

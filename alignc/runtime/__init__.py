"""What an emitted job imports while it runs; of alignc it imports the contract alone."""

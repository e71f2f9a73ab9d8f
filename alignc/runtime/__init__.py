"""What an emitted job imports while it runs; imports nothing of the compiler."""

"""What a user writes, as typed declarations: every field with its type, default, unit and description."""

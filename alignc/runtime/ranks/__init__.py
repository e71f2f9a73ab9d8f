"""The processes of a job: their group, their signs of life, and the work that they share."""

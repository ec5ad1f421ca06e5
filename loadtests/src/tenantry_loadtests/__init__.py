"""Load on the queue path: users, shapes, what is followed, the report."""

"""What Tenantry is measured against: two pairs as their users would write them, and the floor."""

"""What can be done to a tenant: each verb is a list of steps that is resumed by what is there."""

"""What Tenantry's services share. It knows neither of them."""

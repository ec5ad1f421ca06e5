"""What tests of whole services share."""

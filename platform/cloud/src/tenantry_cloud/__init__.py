"""An environment in the cloud, from its variables file: what is valid, and what follows."""

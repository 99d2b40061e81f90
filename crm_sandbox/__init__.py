"""A stand-in for Pipedrive and HubSpot that speaks their HTTP APIs on this machine. Imports nothing of the product."""

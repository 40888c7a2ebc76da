"""Stand-ins for libraries and devices that no machine of the tests has."""

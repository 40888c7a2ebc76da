"""Several tenants on one device: who is served now, and what placing them anew costs."""

"""What is believed of configurations, and how it is shown to an agent."""

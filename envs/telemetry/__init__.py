"""Power, temperatures, clocks and throttling of the device, from its sensors."""

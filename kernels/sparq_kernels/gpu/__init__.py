"""What the Triton implementations share: device code, launches, tilings."""

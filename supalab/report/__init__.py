"""Present results: formatted numbers (``format``), tables (``table``) and figures (``plot``, ``lines``)."""

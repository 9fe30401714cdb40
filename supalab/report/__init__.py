"""Present results: formatted numbers (``format``), tables (``table``), figures (``plot``), and files (``files``)."""

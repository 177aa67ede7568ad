-- Lines and persons: the only road from an access_ref to somebody.
CREATE DATABASE IF NOT EXISTS register

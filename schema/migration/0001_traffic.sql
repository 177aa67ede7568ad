-- Traffic data: what the collectors measured, by access_ref only.
CREATE DATABASE IF NOT EXISTS traffic

"""The HTTP API: `table` lists every operation; routing and the OpenAPI document are both made from it."""

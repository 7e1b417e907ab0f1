"""What the user writes: vnf.yaml and profiles, validated with file:line:column, and turned into a Request."""

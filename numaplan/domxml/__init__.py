"""libvirt's domain XML: read into the model, patched by spans so that every other byte stays, shown as a diff."""

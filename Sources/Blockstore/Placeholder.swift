enum BlockstorePlaceholder {}

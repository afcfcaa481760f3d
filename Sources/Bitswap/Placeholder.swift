enum BitswapPlaceholder {}

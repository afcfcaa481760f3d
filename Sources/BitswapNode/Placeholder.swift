enum BitswapNodePlaceholder {}

print("bitswap")

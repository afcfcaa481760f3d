// swift-tools-version: 6.1
import PackageDescription

// A package of its own, so that nobody who links the library resolves what measures it.
let package = Package(
    name: "benchmarks",
    platforms: [.macOS(.v15)],
    dependencies: [
        .package(name: "swift-bitswap", path: "../"),
        .package(url: "https://github.com/ordo-one/benchmark.git", from: "1.38.1", traits: []),
        .package(url: "https://github.com/apple/swift-nio.git", from: "2.101.0"),
    ],
    targets: [
        .executableTarget(
            name: "BlockPath",
            dependencies: [
                .product(name: "Benchmark", package: "benchmark"),
                .product(name: "Multiformats", package: "swift-bitswap"),
                .product(name: "Blockstore", package: "swift-bitswap"),
                .product(name: "NIOCore", package: "swift-nio"),
            ],
            path: "Benchmarks/BlockPath",
            plugins: [.plugin(name: "BenchmarkPlugin", package: "benchmark")])
    ],
    swiftLanguageModes: [.v6]
)

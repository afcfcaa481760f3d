// swift-tools-version: 6.1
import PackageDescription

// A package of its own, so that nobody who links the library resolves what measures it. It looks into the library's modules
// (@testable), so it is built with -Xswiftc -enable-testing: see the Makefile above.
let package = Package(
    name: "benchmarks",
    platforms: [.macOS(.v15)],
    dependencies: [
        .package(name: "swift-bitswap", path: "../"),
        .package(url: "https://github.com/ordo-one/benchmark.git", from: "1.38.1", traits: []),
        .package(url: "https://github.com/apple/swift-nio.git", from: "2.101.0"),
    ],
    targets: [
        // What is measured.
        .target(
            name: "Parts",
            dependencies: [
                .product(name: "Bitswap", package: "swift-bitswap"),
                .product(name: "Libp2p", package: "swift-bitswap"),
                .product(name: "Blockstore", package: "swift-bitswap"),
                .product(name: "PeerIdentity", package: "swift-bitswap"),
                .product(name: "Multiformats", package: "swift-bitswap"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOEmbedded", package: "swift-nio"),
            ]),
        // How long it takes.
        .executableTarget(
            name: "BlockPath",
            dependencies: ["Parts", .product(name: "Benchmark", package: "benchmark")],
            path: "Benchmarks/BlockPath",
            plugins: [.plugin(name: "BenchmarkPlugin", package: "benchmark")]),
        // How many allocations and instructions it takes: see counts.
        .executableTarget(name: "Count", dependencies: ["Parts", "Markers"]),
        .target(name: "Markers"),
    ],
    swiftLanguageModes: [.v6]
)

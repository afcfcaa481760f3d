// swift-tools-version: 6.1
import PackageDescription

/// For programs: with MemberImportVisibility, `stat` is Glibc's in one file and in another a module's that a dependency imports.
let strictForPrograms: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
]
let strict = strictForPrograms + [.enableUpcomingFeature("MemberImportVisibility")]

let package = Package(
    name: "swift-bitswap",
    platforms: [.macOS(.v15)],
    products: [
        .library(name: "BitswapNode", targets: ["BitswapNode"]),
        .library(name: "Bitswap", targets: ["Bitswap"]),
        .library(name: "Routing", targets: ["Routing"]),
        .library(name: "Libp2p", targets: ["Libp2p"]),
        .library(name: "Blockstore", targets: ["Blockstore"]),
        .library(name: "PeerIdentity", targets: ["PeerIdentity"]),
        .library(name: "Multiformats", targets: ["Multiformats"]),
        .executable(name: "bitswap", targets: ["BitswapCLI"]),
    ],
    traits: [
        .trait(name: "Secp256k1", description: "Verify peers with secp256k1 keys, through the system's libsecp256k1.")
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-nio.git", from: "2.101.0"),
        .package(url: "https://github.com/apple/swift-nio-ssl.git", from: "2.37.6"),
        .package(url: "https://github.com/apple/swift-crypto.git", from: "4.5.0"),
        .package(url: "https://github.com/apple/swift-certificates.git", from: "1.21.1"),
        .package(url: "https://github.com/apple/swift-asn1.git", from: "1.7.4"),
        .package(url: "https://github.com/apple/swift-log.git", from: "1.16.0"),
        .package(url: "https://github.com/apple/swift-metrics.git", from: "2.13.0"),
        .package(url: "https://github.com/apple/swift-collections.git", from: "1.6.0"),
        .package(url: "https://github.com/apple/swift-argument-parser.git", from: "1.8.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle.git", from: "2.13.0"),
    ],
    targets: [
        // The C core.
        .systemLibrary(
            name: "CSodium", path: "CSupport/CSodium", pkgConfig: "libsodium",
            providers: [.apt(["libsodium-dev"]), .brew(["libsodium"])]),
        .systemLibrary(
            name: "COpenSSL", path: "CSupport/COpenSSL", pkgConfig: "libcrypto",
            providers: [.apt(["libssl-dev"]), .brew(["openssl@3"])]),
        .systemLibrary(
            name: "CLMDB", path: "CSupport/CLMDB", pkgConfig: "lmdb",
            providers: [.apt(["liblmdb-dev"]), .brew(["lmdb"])]),
        .systemLibrary(
            name: "CProtobufC", path: "CSupport/CProtobufC", pkgConfig: "libprotobuf-c",
            providers: [.apt(["libprotobuf-c-dev"]), .brew(["protobuf-c"])]),
        .systemLibrary(
            name: "CSecp256k1", path: "CSupport/CSecp256k1", pkgConfig: "libsecp256k1",
            providers: [.apt(["libsecp256k1-dev"]), .brew(["secp256k1"])]),
        .systemLibrary(name: "CMalloc", path: "CSupport/CMalloc"),
        .target(name: "CSHA256", path: "CSupport/CSHA256"),
        .target(
            name: "CResolver", path: "CSupport/CResolver",
            linkerSettings: [.linkedLibrary("resolv", .when(platforms: [.linux, .macOS]))]),
        .target(name: "CWire", dependencies: ["CProtobufC"], path: "CSupport/CWire"),
        .target(name: "CBlockstore", dependencies: ["CLMDB"], path: "CSupport/CBlockstore"),

        // Swift, from the bottom up.
        .target(
            name: "Multiformats",
            dependencies: [.product(name: "Crypto", package: "swift-crypto"), "CSodium", "CSHA256"],
            swiftSettings: strict),
        .target(
            name: "PeerIdentity",
            dependencies: [
                "Multiformats", "CSodium", "COpenSSL", "CWire",
                .target(name: "CSecp256k1", condition: .when(traits: ["Secp256k1"])),
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "CryptoExtras", package: "swift-crypto"),
            ],
            swiftSettings: strict),
        .target(
            name: "Blockstore",
            dependencies: [
                "Multiformats", "CBlockstore",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOConcurrencyHelpers", package: "swift-nio"),
            ],
            swiftSettings: strict),
        .target(
            name: "Libp2p",
            dependencies: [
                .product(name: "NIOConcurrencyHelpers", package: "swift-nio"),
                "PeerIdentity", "CWire", "Multiformats",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOTLS", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "X509", package: "swift-certificates"),
                .product(name: "SwiftASN1", package: "swift-asn1"),
                .product(name: "DequeModule", package: "swift-collections"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "Metrics", package: "swift-metrics"),
            ],
            swiftSettings: strict),
        .target(
            name: "Routing",
            dependencies: [
                "Libp2p", "CResolver", "PeerIdentity", "Multiformats",
                .product(name: "NIOConcurrencyHelpers", package: "swift-nio"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "DequeModule", package: "swift-collections"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "Metrics", package: "swift-metrics"),
            ],
            swiftSettings: strict),
        .target(
            name: "Bitswap",
            dependencies: [
                .product(name: "NIOConcurrencyHelpers", package: "swift-nio"),
                "Libp2p", "Blockstore", "CWire", "PeerIdentity", "Multiformats",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "DequeModule", package: "swift-collections"),
                .product(name: "HeapModule", package: "swift-collections"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "Metrics", package: "swift-metrics"),
            ],
            swiftSettings: strict),
        .target(
            name: "BitswapNode",
            dependencies: [
                .product(name: "NIOConcurrencyHelpers", package: "swift-nio"),
                "Bitswap", "Routing", "Libp2p", "Blockstore", "PeerIdentity", "Multiformats",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "DequeModule", package: "swift-collections"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "Metrics", package: "swift-metrics"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ],
            swiftSettings: strict),
        .executableTarget(
            name: "BitswapCLI",
            dependencies: [
                "BitswapNode", "Bitswap", "Routing", "Libp2p", "Blockstore", "PeerIdentity", "Multiformats", "CMalloc",
                .product(name: "NIOConcurrencyHelpers", package: "swift-nio"),
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "UnixSignals", package: "swift-service-lifecycle"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ],
            swiftSettings: strictForPrograms),

        // What the README quotes, compiled as somebody else's program is.
        .executableTarget(
            name: "FetchBlock",
            dependencies: [
                "BitswapNode", "Blockstore", "Multiformats", .product(name: "NIOCore", package: "swift-nio"),
            ],
            path: "Examples/FetchBlock"),

        // Tests.
        .target(
            name: "TestSupport",
            dependencies: [
                .product(name: "NIOConcurrencyHelpers", package: "swift-nio"),
                "Bitswap", "Libp2p", "Blockstore", "PeerIdentity", "Multiformats",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "DequeModule", package: "swift-collections"),
                .product(name: "HeapModule", package: "swift-collections"),
                .product(name: "Logging", package: "swift-log"),
            ],
            path: "Tests/TestSupport", swiftSettings: strict),
        .testTarget(
            name: "MultiformatsTests",
            dependencies: ["Multiformats", "TestSupport", .product(name: "Crypto", package: "swift-crypto")],
            swiftSettings: strict),
        .testTarget(
            name: "PeerIdentityTests", dependencies: ["PeerIdentity", "Multiformats", "TestSupport"],
            swiftSettings: strict),
        .testTarget(
            name: "BlockstoreTests",
            dependencies: [
                "TestSupport",
                "Blockstore", "CLMDB", "Multiformats",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOConcurrencyHelpers", package: "swift-nio"),
            ],
            swiftSettings: strict),
        // The other process in tests with several; they find it beside themselves.
        .executableTarget(
            name: "BlockstoreTestChild",
            dependencies: [
                "Blockstore", "CBlockstore", "Multiformats", .product(name: "NIOCore", package: "swift-nio"),
            ],
            path: "Tests/BlockstoreTestChild", swiftSettings: strict),
        .target(
            name: "CWireFuzz", dependencies: ["CWire", "CProtobufC"], path: "Tests/Fuzz",
            exclude: ["FailCases", "libFuzzer", "run"]),
        .testTarget(
            name: "WireTests", dependencies: ["CWire", "CWireFuzz", "CProtobufC", "TestSupport"], swiftSettings: strict),
        .testTarget(
            name: "Libp2pTests",
            dependencies: [
                "Libp2p", "TestSupport",
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "SwiftASN1", package: "swift-asn1"),
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "CryptoExtras", package: "swift-crypto"),
                .product(name: "NIOEmbedded", package: "swift-nio"),
                .product(name: "MetricsTestKit", package: "swift-metrics"),
                .product(name: "NIOConcurrencyHelpers", package: "swift-nio"),
            ],
            swiftSettings: strict),
        .testTarget(
            name: "RoutingTests",
            dependencies: [
                "Routing", "Libp2p", "PeerIdentity", "Multiformats", "TestSupport",
                .product(name: "NIOConcurrencyHelpers", package: "swift-nio"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "MetricsTestKit", package: "swift-metrics"),
            ],
            swiftSettings: strict),
        .testTarget(
            name: "BitswapTests",
            dependencies: [
                "Libp2p", "Bitswap", "Blockstore", "PeerIdentity", "Multiformats", "TestSupport",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "Metrics", package: "swift-metrics"),
                .product(name: "MetricsTestKit", package: "swift-metrics"),
                .product(name: "NIOConcurrencyHelpers", package: "swift-nio"),
            ],
            swiftSettings: strict),
        // Scenarios on the simulated network, with a table of what came out: `make simulate`.
        .executableTarget(
            name: "Simulate",
            dependencies: [
                "Bitswap", "Blockstore", "Multiformats", "TestSupport",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOConcurrencyHelpers", package: "swift-nio"),
            ],
            path: "Tests/Simulate", swiftSettings: strict),
        .testTarget(
            name: "SimulationTests",
            dependencies: [
                "Simulate",
                "Bitswap", "Blockstore", "PeerIdentity", "Multiformats", "TestSupport",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOConcurrencyHelpers", package: "swift-nio"),
            ],
            swiftSettings: strict),
        .testTarget(
            name: "BitswapNodeTests",
            dependencies: [
                .product(name: "NIOConcurrencyHelpers", package: "swift-nio"),
                "BitswapNode", "Bitswap", "Blockstore", "Libp2p", "PeerIdentity", "Multiformats", "TestSupport",
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "MetricsTestKit", package: "swift-metrics"),
            ],
            swiftSettings: strict),
        .testTarget(
            name: "BitswapCLITests",
            dependencies: [
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOConcurrencyHelpers", package: "swift-nio"),
                "BitswapCLI", "BitswapNode", "Bitswap", "Blockstore", "Routing", "Libp2p", "PeerIdentity",
                "Multiformats",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: strict),
    ],
    swiftLanguageModes: [.v6]
)

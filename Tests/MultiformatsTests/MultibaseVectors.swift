import Multiformats
import Testing

/// The test vectors of https://github.com/multiformats/multibase/tree/master/tests, as far as the bases are known here.
enum MultibaseVectors {
    /// basic.csv
    static let basicPlain = "yes mani !"
    static let basic: [(Multibase, String)] = [
        (.base16, "f796573206d616e692021"),
        (.base16Upper, "F796573206D616E692021"),
        (.base32, "bpfsxgidnmfxgsibb"),
        (.base32Upper, "BPFSXGIDNMFXGSIBB"),
        (.base32Hex, "vf5in683dc5n6i811"),
        (.base32HexUpper, "VF5IN683DC5N6I811"),
        (.base32Pad, "cpfsxgidnmfxgsibb"),
        (.base32PadUpper, "CPFSXGIDNMFXGSIBB"),
        (.base32HexPad, "tf5in683dc5n6i811"),
        (.base32HexPadUpper, "TF5IN683DC5N6I811"),
        (.base36, "k2lcpzo5yikidynfl"),
        (.base36Upper, "K2LCPZO5YIKIDYNFL"),
        (.base58btc, "z7paNL19xttacUY"),
        (.base64, "meWVzIG1hbmkgIQ"),
        (.base64Pad, "MeWVzIG1hbmkgIQ=="),
        (.base64URL, "ueWVzIG1hbmkgIQ"),
        (.base64URLPad, "UeWVzIG1hbmkgIQ=="),
    ]

    /// leading_zero.csv
    static let leadingZeroPlain = "\0yes mani !"
    static let leadingZero: [(Multibase, String)] = [
        (.base16, "f00796573206d616e692021"),
        (.base16Upper, "F00796573206D616E692021"),
        (.base32, "bab4wk4zanvqw42jaee"),
        (.base32Upper, "BAB4WK4ZANVQW42JAEE"),
        (.base32Hex, "v01smasp0dlgmsq9044"),
        (.base32HexUpper, "V01SMASP0DLGMSQ9044"),
        (.base32Pad, "cab4wk4zanvqw42jaee======"),
        (.base32PadUpper, "CAB4WK4ZANVQW42JAEE======"),
        (.base32HexPad, "t01smasp0dlgmsq9044======"),
        (.base32HexPadUpper, "T01SMASP0DLGMSQ9044======"),
        (.base36, "k02lcpzo5yikidynfl"),
        (.base36Upper, "K02LCPZO5YIKIDYNFL"),
        (.base58btc, "z17paNL19xttacUY"),
        (.base64, "mAHllcyBtYW5pICE"),
        (.base64Pad, "MAHllcyBtYW5pICE="),
        (.base64URL, "uAHllcyBtYW5pICE"),
        (.base64URLPad, "UAHllcyBtYW5pICE="),
    ]

    /// two_leading_zeros.csv
    static let twoLeadingZerosPlain = "\0\0yes mani !"
    static let twoLeadingZeros: [(Multibase, String)] = [
        (.base16, "f0000796573206d616e692021"),
        (.base16Upper, "F0000796573206D616E692021"),
        (.base32, "baaahszltebwwc3tjeaqq"),
        (.base32Upper, "BAAAHSZLTEBWWC3TJEAQQ"),
        (.base32Hex, "v0007ipbj41mm2rj940gg"),
        (.base32HexUpper, "V0007IPBJ41MM2RJ940GG"),
        (.base32Pad, "caaahszltebwwc3tjeaqq===="),
        (.base32PadUpper, "CAAAHSZLTEBWWC3TJEAQQ===="),
        (.base32HexPad, "t0007ipbj41mm2rj940gg===="),
        (.base32HexPadUpper, "T0007IPBJ41MM2RJ940GG===="),
        (.base36, "k002lcpzo5yikidynfl"),
        (.base36Upper, "K002LCPZO5YIKIDYNFL"),
        (.base58btc, "z117paNL19xttacUY"),
        (.base64, "mAAB5ZXMgbWFuaSAh"),
        (.base64Pad, "MAAB5ZXMgbWFuaSAh"),
        (.base64URL, "uAAB5ZXMgbWFuaSAh"),
        (.base64URLPad, "UAAB5ZXMgbWFuaSAh"),
    ]

    /// case_insensitivity.csv: read in any case, but never written like that
    static let otherCasePlain = "hello world"
    static let otherCase: [(Multibase, String)] = [
        (.base16, "f68656c6c6f20776F726C64"),
        (.base16Upper, "F68656c6c6f20776F726C64"),
        (.base32, "bnbswy3dpeB3W64TMMQ"),
        (.base32Upper, "Bnbswy3dpeB3W64TMMQ"),
        (.base32Hex, "vd1imor3f41RMUSJCCG"),
        (.base32HexUpper, "Vd1imor3f41RMUSJCCG"),
        (.base32Pad, "cnbswy3dpeB3W64TMMQ======"),
        (.base32PadUpper, "Cnbswy3dpeB3W64TMMQ======"),
        (.base32HexPad, "td1imor3f41RMUSJCCG======"),
        (.base32HexPadUpper, "Td1imor3f41RMUSJCCG======"),
        (.base36, "kfUvrsIvVnfRbjWaJo"),
        (.base36Upper, "KfUVrSIVVnFRbJWAJo"),
    ]
}

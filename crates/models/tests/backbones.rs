//! Whole networks: parameters and multiply-adds equal the published ones.

use striate_layers::{VarBuilder, parameter_count, summary};
use striate_models::{Options, build, find};
use striate_tensor::Result;

/// Name, parameters, multiply-adds of one image of the size it is for: of the implementation that the names come from.
const COUNTS: &[(&str, usize, Option<u64>)] = &[
    ("resnet18", 11_689_512, Some(1_814_073_344)),
    ("resnet34", 21_797_672, Some(3_663_761_408)),
    ("resnet50", 25_557_032, Some(4_089_184_256)),
    ("resnet50_caffe", 25_557_032, Some(3_857_973_248)),
    ("resnet101", 44_549_160, Some(7_801_405_440)),
    ("resnet152", 60_192_808, Some(11_513_626_624)),
    ("resnext50_32x4d", 25_028_904, Some(4_230_479_872)),
    ("resnext101_32x4d", 44_177_704, Some(7_969_996_800)),
    ("resnext101_64x4d", 83_455_272, Some(15_460_270_080)),
    ("resnext101_32x8d", 88_791_336, Some(16_414_015_488)),
    ("wide_resnet50_2", 68_883_240, Some(11_398_021_120)),
    ("seresnet18", 11_779_624, Some(1_814_161_408)),
    ("seresnet34", 21_960_416, Some(3_663_920_128)),
    ("seresnet50", 28_088_024, Some(4_091_699_200)),
    ("seresnet101", 49_326_872, Some(7_806_148_608)),
    ("seresnet152", 66_821_848, Some(11_520_204_800)),
    ("seresnext50_32x4d", 27_559_896, Some(4_232_994_816)),
    ("seresnext101_32x4d", 48_955_416, Some(7_974_739_968)),
    ("senet154", 115_088_984, None),
    ("legacy_seresnet18", 11_778_592, Some(1_814_160_384)),
    ("legacy_seresnet34", 21_958_868, Some(3_663_918_592)),
    ("legacy_seresnet50", 28_088_024, Some(3_860_488_192)),
    ("legacy_seresnet101", 49_326_872, Some(7_574_937_600)),
    ("legacy_seresnet152", 66_821_848, Some(11_288_993_792)),
    ("legacy_seresnext26_32x4d", 16_790_280, Some(2_472_099_840)),
    ("legacy_seresnext50_32x4d", 27_559_896, Some(4_232_994_816)),
    ("legacy_seresnext101_32x4d", 48_955_416, Some(7_974_739_968)),
    ("legacy_senet154", 115_088_984, Some(20_688_363_520)),
    ("sknet26", 16_746_408, Some(2_586_877_952)),
    ("sknet50", 27_479_784, Some(4_462_710_784)),
    ("sknet101", 48_736_040, Some(8_448_724_992)),
    ("skresnet18", 11_958_056, None),
    ("skresnet34", 22_282_376, None),
    ("skresnet50", 25_803_160, None),
    ("skresnet50d", 25_822_392, None),
    ("skresnext50_32x4d", 27_479_784, Some(4_462_710_784)),
    ("cbam_resnet50", 28_089_624, Some(4_095_573_110)),
    ("bam_resnet50", 25_915_099, Some(4_171_331_328)),
    ("ecaresnet50d", 25_576_350, Some(4_328_912_640)),
    ("resnest14d", 10_611_688, Some(2_749_405_184)),
    ("resnest50d", 27_483_240, Some(5_371_160_576)),
    ("resnetblur18", 11_689_512, Some(2_337_684_992)),
    ("resnetblur50", 25_557_032, Some(5_133_020_672)),
    ("resnet18_lpf4", 11_689_512, Some(2_341_724_160)),
    ("resnet34_lpf4", 21_797_672, Some(4_191_412_224)),
    ("resnet50_lpf4", 25_557_032, Some(5_141_274_624)),
    ("resnet101_lpf4", 44_549_160, Some(8_853_495_808)),
    ("vgg11", 132_863_336, None),
    ("vgg11_bn", 132_868_840, None),
    ("vgg13", 133_047_848, None),
    ("vgg13_bn", 133_053_736, None),
    ("vgg16", 138_357_544, Some(15_470_264_320)),
    ("vgg16_bn", 138_365_992, Some(15_470_264_320)),
    ("vgg19", 143_667_240, None),
    ("vgg19_bn", 143_678_248, None),
    ("googlenet", 6_624_904, None),
    ("bn_inception", 11_285_224, None),
    ("se_bn_inception", 11_931_622, Some(2_033_239_424)),
    ("inception_v3", 23_834_568, Some(5_713_216_096)),
    ("inception_resnet_v2", 55_843_464, Some(13_155_794_016)),
    ("se_inception_resnet_v2", 64_387_444, None),
    ("nonlocal_resnet50", 32_915_496, None),
    ("dcn_resnet50", 26_137_874, None),
    ("dcnv2_resnet50", 26_428_295, None),
    ("od_resnet18", 11_943_944, None),
    ("od_resnet18_4x", 44_901_640, None),
    ("od_resnet50", 28_635_112, None),
    ("od_resnet50_4x", 90_670_888, None),
    ("dy_resnet18", 45_475_008, None),
    ("dy_resnet50", 100_895_176, None),
    ("gcresnet50t", 25_897_080, None),
    ("attention56", 31_810_728, Some(6_270_836_736)),
    ("attention92", 52_466_344, Some(10_533_789_696)),
    ("attentionnext56", 31_318_824, Some(6_419_106_816)),
    ("attentionnext92", 52_102_952, Some(10_704_337_920)),
    ("attention92_cifar", 1_841_274, None),
    ("attention236_cifar", 5_084_794, None),
    ("attention92_cifar_wide", 12_170_730, Some(1_089_185_792)),
    ("mobilenetv1_100", 4_231_976, Some(568_740_352)),
    ("se_mobilenet_v1", 4_718_044, None),
    ("mobilenet_v2", 3_504_872, Some(300_774_272)),
    ("od_mobilenet_v2", 4_940_185, None),
    ("od_mobilenet_v2_4x", 11_512_149, None),
    ("dy_mobilenet_v2", 12_416_576, None),
    ("mobilenet_v3_large", 5_483_032, Some(216_589_760)),
    ("mobilenet_v3_small", 2_542_856, None),
    ("efficientnet_b0", 5_288_548, Some(385_814_752)),
    ("tf_efficientnet_cc_b0_4e", 13_314_116, Some(396_513_888)),
    ("tf_efficientnet_cc_b0_8e", 24_013_284, Some(407_213_024)),
    ("tf_efficientnet_cc_b1_8e", 39_715_968, None),
    ("ghostnet_050", 2_587_292, Some(42_328_152)),
    ("ghostnet_100", 5_182_508, Some(141_150_512)),
    ("ghostnet_130", 7_358_820, Some(227_003_256)),
    ("deeplabv3_resnet50", 39_638_869, Some(168_731_205_888)),
    ("deeplabv3_resnet101", 58_630_997, None),
];

#[test]
fn counts_equal_the_published_ones() -> Result<()> {
    let mut wrong = Vec::new();
    for &(name, parameters, multiply_adds) in COUNTS {
        let net = build(name, &Options::default(), &VarBuilder::zeros())?;
        if parameter_count(&net) != parameters {
            wrong.push(format!(
                "{name}: {} parameters, not {parameters}",
                parameter_count(&net)
            ));
        }
        if let Some(expected) = multiply_adds {
            let [c, h, w] = find(name)?.input;
            let got = summary(&net, &[1, c, h, w])?.multiply_adds;
            if got != expected {
                wrong.push(format!("{name}: {got} multiply-adds, not {expected}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

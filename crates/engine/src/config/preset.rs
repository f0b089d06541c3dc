//! Settings that belong together, by name.

/// A name for settings that belong together: a run file says `preset = "nnunet"`, and changes what it names itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preset {
    /// What a run file calls it.
    pub name: &'static str,
    /// What it is, in one line.
    pub title: &'static str,
    /// Where its numbers are from.
    pub source: &'static str,
    /// A part of a run file.
    pub text: &'static str,
}

/// All presets: a file and a row each.
pub const PRESETS: [Preset; 5] = [
    Preset {
        name: "nnunet",
        title: "nnU-Net's trainer: a planned U-Net, cross entropy and Dice, 1000 epochs",
        source: "Isensee et al., Nature Methods 18, 2021; `nnUNetTrainer` of nnU-Net v2",
        text: include_str!("../../presets/nnunet.toml"),
    },
    Preset {
        name: "dice_semimetric",
        title: "soft labels of several raters: Dice semimetric loss, AdamW, a pretrained encoder",
        source: "Wang et al., Dice Semimetric Losses, MICCAI 2023; JDTLosses",
        text: include_str!("../../presets/dice_semimetric.toml"),
    },
    Preset {
        name: "dsc_plus_plus",
        title: "calibrated Dice: DSC++ on MIScnn's U-Net, until the validation loss no longer falls",
        source: "Yeung et al., Calibrating the Dice loss, Journal of Digital Imaging 36, 2023",
        text: include_str!("../../presets/dsc_plus_plus.toml"),
    },
    Preset {
        name: "unified_focal",
        title: "rare foreground: asymmetric unified focal loss on MIScnn's U-Net",
        source: "Yeung et al., Unified Focal loss, Computerized Medical Imaging and Graphics 95, 2022",
        text: include_str!("../../presets/unified_focal.toml"),
    },
    Preset {
        name: "cross_entropy_dice",
        title: "lesions in images unlike those of training: from cross entropy to Dice on a W-net, NAdam",
        source: "the cross-entropy/Dice study on out-of-distribution images; `lesion_losses_ood`",
        text: include_str!("../../presets/cross_entropy_dice.toml"),
    },
];

impl Preset {
    /// The preset of that name, if there is one.
    pub fn named(name: &str) -> Option<&'static Self> {
        PRESETS.iter().find(|preset| preset.name == name)
    }
}

use sconce::engine::evaluate::{Definitions, EvaluateConfig};
use sconce::metrics::{
    Brats23, Brats24, ChallengeConfig, Fraction, Goal, Kits23, Lits, NonNegative, Positive, Qubiq,
    Tumour2023, Tumour2024,
};

/// What is to be scored, and by whose definition.
#[derive(Debug, clap::Args)]
pub(super) struct Wishes {
    /// Scores, such as dice,hd95,mcc,ks; all of them: all
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    metrics: Vec<String>,
    /// Whose definition of surface distances: surface-distance, medpy or monai
    #[arg(long, default_value_t, value_name = "PROGRAM", value_parser = definitions)]
    definitions: Definitions,
    /// Tolerances of the surface Dice, mm
    #[arg(long, value_name = "MM", value_delimiter = ',', value_parser = tolerance)]
    tolerance: Vec<NonNegative>,
    #[arg(
        long,
        value_name = "NAME",
        value_parser = challenge,
        help = "Also score by the rules of a challenge: kits23, lits, qubiq, brats23[:meningioma|metastasis], \
                brats24[:sub_saharan|metastasis|meningioma_radiotherapy|pediatric]"
    )]
    challenge: Option<ChallengeConfig>,
    /// Choose a threshold of probabilities: recall=SHARE, precision=SHARE or fbeta=BETA
    #[arg(long = "goal", value_name = "GOAL", value_parser = goal)]
    goals: Vec<Goal>,
    /// The Dice below which a case has failed
    #[arg(long, value_name = "DICE", default_value = "0.5", value_parser = share)]
    failure: Fraction,
}

impl Wishes {
    pub(super) fn settings(&self) -> anyhow::Result<EvaluateConfig> {
        let default = EvaluateConfig::default();
        let goals = if self.goals.is_empty() { default.goals.clone() } else { self.goals.clone() };
        let settings = EvaluateConfig {
            challenge: self.challenge.clone(),
            failure: self.failure,
            goals,
            ..default.with_metrics(&self.metrics)?
        };
        Ok(settings.by(self.definitions).with_tolerances(&self.tolerance))
    }
}

fn definitions(text: &str) -> Result<Definitions, String> {
    text.parse()
}

fn tolerance(text: &str) -> Result<NonNegative, String> {
    let millimetres = text.parse::<f64>().map_err(|_| "it is not a number of mm".to_owned())?;
    NonNegative::try_from(millimetres).map_err(|error| error.to_string())
}

fn share(text: &str) -> Result<Fraction, String> {
    let share = text.parse::<f64>().map_err(|_| "it is not a number from 0 to 1".to_owned())?;
    Fraction::try_from(share).map_err(|error| error.to_string())
}

fn goal(text: &str) -> Result<Goal, String> {
    let (kind, value) = text.split_once('=').ok_or("it is not of the form kind=value")?;
    let beta = || {
        let beta = value.parse::<f64>().map_err(|_| "β is not a number".to_owned())?;
        Positive::try_from(beta).map_err(|error| error.to_string())
    };
    match kind {
        "recall" => share(value).map(Goal::Recall),
        "precision" => share(value).map(Goal::Precision),
        "fbeta" => beta().map(Goal::FBeta),
        _ => Err("there are recall, precision and fbeta".to_owned()),
    }
}

fn challenge(text: &str) -> Result<ChallengeConfig, String> {
    let (name, tumour) = text.split_once(':').map_or((text, None), |(name, it)| (name, Some(it)));
    let known = || format!("there are {}", ChallengeConfig::NAMES.join(", "));
    Ok(match (name, tumour) {
        ("kits23", None) => Kits23::default().into(),
        ("lits", None) => Lits::default().into(),
        ("qubiq", None) => Qubiq::default().into(),
        ("brats23", tumour) => {
            let tumour = match tumour {
                None | Some("glioma") => Tumour2023::Glioma,
                Some("meningioma") => Tumour2023::Meningioma,
                Some("metastasis") => Tumour2023::Metastasis,
                Some(_) => return Err("there are glioma, meningioma and metastasis".to_owned()),
            };
            Brats23 { tumour }.into()
        }
        ("brats24", tumour) => {
            let tumour = match tumour {
                None | Some("glioma") => Tumour2024::Glioma,
                Some("sub_saharan") => Tumour2024::SubSaharan,
                Some("metastasis") => Tumour2024::Metastasis,
                Some("meningioma_radiotherapy") => Tumour2024::MeningiomaRadiotherapy,
                Some("pediatric") => Tumour2024::Pediatric,
                Some(_) => {
                    return Err("there are glioma, sub_saharan, metastasis, \
                                meningioma_radiotherapy and pediatric"
                        .to_owned());
                }
            };
            Brats24 { tumour }.into()
        }
        _ => return Err(known()),
    })
}

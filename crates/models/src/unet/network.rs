use candle::Result;
use candle_nn::VarBuilder;
use nn::{Conv, ConvConfig, ConvTranspose, ConvTransposeConfig, Pending};
use onnx::Value;

use crate::block::{Encoder, Layer, Layers, Window, chain, convs, run};
use crate::checkpoint::Checkpoint;
use crate::door::{Door, leave};
use crate::sketch::Sketch;
use crate::topology::{Stage, Style};
use crate::{HeadId, Input, Interface, Logits, Model};

/// A U-Net: an encoder, the same for the way up, and a head on each resolution but the coarsest.
#[derive(Debug)]
pub(crate) struct Network {
    door: Door,
    encoder: Encoder,
    /// Coarsest first, as nnU-Net counts them.
    decoder: Vec<Up>,
    deep_supervision: bool,
}

/// One step up, and the head behind it.
#[derive(Debug)]
struct Up {
    /// A [`Step`], perhaps one that runs again for its gradients.
    step: Layers,
    head: Conv,
}

/// From a resolution, and what the encoder had on the next finer one, to that.
#[derive(Debug)]
struct Step {
    upsample: ConvTranspose,
    convs: Layers,
}

impl Layer for Step {
    fn forward_t(&self, inputs: &[&Pending], train: bool) -> Result<Pending> {
        let (coarse, skip) = inputs.split_first().expect("a coarser resolution");
        let coarse = self.upsample.forward_of(&[coarse])?;
        run(&self.convs, &[&[&coarse], skip].concat(), train)
    }

    fn onnx(&self, sketch: &mut Sketch, inputs: &[&Value]) -> Result<Value> {
        let (coarse, skip) = inputs.split_first().expect("a coarser resolution");
        let coarse = sketch.conv_transpose(&self.upsample, &[coarse])?;
        sketch.run(&self.convs, &[&[&coarse], skip].concat())
    }
}

impl Network {
    /// With an encoder that is built already; the decoder's parameters are under `decoder` of `vb`.
    pub(crate) fn new(
        interface: Interface,
        stages: &[Stage],
        encoder: Encoder,
        style: Style,
        deep_supervision: bool,
        vb: &VarBuilder<'_>,
    ) -> Result<Self> {
        let vb = vb.pp("decoder");
        let steps = stages.windows(2).rev().enumerate();
        let decoder = steps.map(|(s, pair)| Up::new(s, &pair[0], &pair[1], interface, style, &vb));
        let decoder = decoder.collect::<Result<_>>()?;
        let stride = |axis| stages.iter().map(|stage| stage.stride[axis]).product();
        let stride = (0..interface.rank).map(stride).collect();
        let door = Door::new(interface, stride);
        Ok(Self { door, encoder, decoder, deep_supervision })
    }
}

impl Up {
    fn new(
        s: usize,
        fine: &Stage,
        coarse: &Stage,
        interface: Interface,
        style: Style,
        vb: &VarBuilder<'_>,
    ) -> Result<Self> {
        let features = fine.features;
        let upsample = ConvTransposeConfig::upsample(&coarse.stride);
        let ones = vec![1; interface.rank];
        let window =
            Window { cin: 2 * features, cout: features, kernel: &fine.kernel, stride: &ones };
        let point = ConvConfig::new(interface.rank);
        let step: Layers = vec![Box::new(Step {
            upsample: ConvTranspose::new(
                coarse.features,
                features,
                &coarse.stride,
                upsample,
                style.conv_bias,
                vb.pp("transpconvs").pp(s),
            )?,
            convs: convs(window, fine.up, style, &vb.pp("stages").pp(s))?,
        })];
        Ok(Self {
            step: if style.gradient_checkpointing { Checkpoint::of(step) } else { step },
            // Heads exist whether they are trained or not, so that weights fit either way.
            head: Conv::new(
                features,
                interface.classes,
                &ones,
                point,
                true,
                vb.pp("seg_layers").pp(s),
            )?,
        })
    }
}

impl Model for Network {
    fn interface(&self) -> Interface {
        self.door.interface()
    }

    fn stride(&self) -> &[usize] {
        self.door.stride()
    }

    fn forward_t(&self, input: &Input, train: bool) -> Result<Logits> {
        Ok(self.forward_with_coarsest(input, train)?.0)
    }

    fn onnx(&self, sketch: &mut Sketch, images: &Value) -> Result<Value> {
        Ok(self.onnx_with_coarsest(sketch, images)?.0)
    }
}

impl Network {
    /// As [`Model::forward_t`]; also the features of the coarsest stage, `(N, *S', F)`.
    pub(crate) fn forward_with_coarsest(
        &self,
        input: &Input,
        train: bool,
    ) -> Result<(Logits, Pending)> {
        let images = Pending::from(self.door.enter(input)?);
        let mut x = chain(&self.encoder.stem, images, train)?;

        let mut skips = Vec::new();
        for stage in &self.encoder.stages {
            x = chain(stage, x, train)?;
            skips.push(x.clone());
        }
        let coarsest = skips.pop().expect("two stages at least");

        // Coarsest first.
        let mut heads = Vec::new();
        for (level, up) in (0..self.decoder.len()).rev().zip(&self.decoder) {
            let skip = skips.pop().expect("one skip for each step up");
            x = run(&up.step, &[&x, &skip], train)?;
            if level == 0 || (train && self.deep_supervision) {
                heads.push(leave(&up.head.forward_of(&[&x])?.resolve()?)?);
            }
        }
        let main = heads.pop().expect("a head on the finest resolution");
        let deep = heads.into_iter().rev().enumerate();
        let add = |logits: Logits, (i, head)| logits.with(HeadId::Deep(i + 1), head);
        Ok((deep.fold(Logits::new(main), add), coarsest))
    }

    /// As [`Model::onnx`]; also the features of the coarsest stage, `(N, F, *S')`.
    pub(crate) fn onnx_with_coarsest(
        &self,
        sketch: &mut Sketch,
        images: &Value,
    ) -> Result<(Value, Value)> {
        let mut x = sketch.chain(&self.encoder.stem, images)?;
        let mut skips = Vec::new();
        for stage in &self.encoder.stages {
            x = sketch.chain(stage, &x)?;
            skips.push(x.clone());
        }
        let coarsest = skips.pop().expect("two stages at least");
        for up in &self.decoder {
            let skip = skips.pop().expect("one skip for each step up");
            x = sketch.run(&up.step, &[&x, &skip])?;
        }
        let finest = self.decoder.last().expect("a head on the finest resolution");
        Ok((sketch.conv(&finest.head, &[&x])?, coarsest))
    }
}

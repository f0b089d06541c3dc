(() => {
  const LAYERS = {
    reference: [166, 240, 77], prediction: [255, 143, 31], extra: [255, 77, 109], missed: [79, 140, 255], confused: [207, 169, 255],
  };
  const HEAT = [[70, 20, 110], [190, 50, 90], [250, 140, 40], [255, 245, 160]];
  // For each plane: the axes of rows, columns and slices.
  const PLANES = { axial: [1, 2, 0], coronal: [0, 2, 1], sagittal: [0, 1, 2] };

  const element = (name, settings = {}, ...children) => {
    const made = Object.assign(document.createElement(name), settings);
    made.append(...children);
    return made;
  };

  // The voxels of a picture of slices in rows; null where there is none.
  const decode = async (data, [depth, height, width]) => {
    if (!data) return null;
    const image = new Image();
    image.src = `data:image/png;base64,${data}`;
    await image.decode();
    const canvas = element("canvas", { width: image.width, height: image.height });
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(image, 0, 0);
    const pixels = context.getImageData(0, 0, image.width, image.height).data;
    const columns = image.width / width;
    const voxels = new Uint8Array(depth * height * width);
    for (let z = 0, at = 0; z < depth; z++)
      for (let y = 0; y < height; y++)
        for (let x = 0; x < width; x++)
          voxels[at++] = pixels[4 * ((Math.floor(z / columns) * height + y) * image.width + (z % columns) * width + x)];
    return voxels;
  };

  const heat = (share) => {
    const below = Math.min(2, Math.floor(3 * share));
    return HEAT[below].map((value, channel) => value + (3 * share - below) * (HEAT[below + 1][channel] - value));
  };

  const errorOf = (reference, prediction) =>
    reference === prediction ? null : reference === 0 ? LAYERS.extra : prediction === 0 ? LAYERS.missed : LAYERS.confused;

  const start = async (viewer) => {
    const numbers = (text) => text.split(" ").map(Number);
    const [size, spacing] = [numbers(viewer.dataset.size), numbers(viewer.dataset.spacing)];
    const [gray, labels, probability] = await Promise.all(
      ["gray", "labels", "probability"].map((name) => decode(viewer.dataset[name], size)));
    const strides = [size[1] * size[2], size[2], 1];
    let plane = "axial";
    const at = Object.fromEntries(Object.entries(PLANES).map(([name, axes]) => [name, Math.floor(size[axes[2]] / 2)]));

    const canvas = element("canvas", { tabIndex: 0 });
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", `${viewer.dataset.title}: slices, up and down arrows for others`);
    const slider = element("input", { type: "range", min: 0, className: "slice" });
    const opacity = element("input", { type: "range", min: 0, max: 100, value: 45, className: "opacity" });
    const place = element("output");
    const boxes = {};
    const toggles = ["reference", "prediction", "errors", ...(probability ? ["probability"] : [])].map((name) => {
      boxes[name] = element("input", { type: "checkbox", checked: name === "reference" || name === "prediction" });
      return element("label", {}, boxes[name], element("i", { className: `layer ${name}` }), name);
    });
    const buttons = Object.keys(PLANES).map((name) => element("button", { type: "button", textContent: name }));

    const draw = () => {
      const [rows, columns, slices] = PLANES[plane];
      const [height, width] = [size[rows], size[columns]];
      const context = canvas.getContext("2d");
      const picture = context.createImageData(width, height);
      const share = opacity.value / 100;
      for (let y = 0, pixel = 0; y < height; y++) {
        for (let x = 0; x < width; x++, pixel += 4) {
          const voxel = y * strides[rows] + x * strides[columns] + at[plane] * strides[slices];
          let color = [gray[voxel], gray[voxel], gray[voxel]];
          const [reference, prediction] = [labels[voxel] & 15, labels[voxel] >> 4];
          const over = (layer, strength) => {
            color = color.map((value, channel) => value + strength * (layer[channel] - value));
          };
          if (boxes.probability?.checked && probability[voxel] > 8) over(heat(probability[voxel] / 255), share);
          if (boxes.reference.checked && reference) over(LAYERS.reference, share);
          if (boxes.prediction.checked && prediction) over(LAYERS.prediction, share);
          const error = boxes.errors.checked && errorOf(reference, prediction);
          if (error) over(error, share);
          picture.data.set([...color, 255], pixel);
        }
      }
      [canvas.width, canvas.height] = [width, height];
      canvas.style.aspectRatio = `${width * spacing[columns]} / ${height * spacing[rows]}`;
      context.putImageData(picture, 0, 0);
      slider.max = size[slices] - 1;
      slider.value = at[plane];
      place.textContent = `${at[plane] + 1} of ${size[slices]}`;
      buttons.forEach((button) => button.setAttribute("aria-pressed", button.textContent === plane));
    };
    const move = (to) => {
      at[plane] = Math.max(0, Math.min(Number(slider.max), to));
      draw();
    };

    slider.addEventListener("input", () => move(Number(slider.value)));
    opacity.addEventListener("input", draw);
    Object.values(boxes).forEach((box) => box.addEventListener("change", draw));
    buttons.forEach((button) => button.addEventListener("click", () => { plane = button.textContent; draw(); }));
    canvas.addEventListener("keydown", (event) => {
      const by = { ArrowUp: -1, ArrowLeft: -1, ArrowDown: 1, ArrowRight: 1 }[event.key];
      if (by === undefined) return;
      event.preventDefault();
      move(at[plane] + by);
    });
    viewer.append(
      element("div", { className: "screen" }, canvas),
      element("div", { className: "controls" },
        element("div", { className: "planes" }, ...buttons),
        element("label", {}, "Slice ", slider, " ", place),
        element("label", {}, "Overlay ", opacity),
        element("div", { className: "toggles" }, ...toggles)));
    draw();
    viewer.hidden = false;
  };

  document.querySelectorAll(".viewer").forEach(start);
})();

export default { loading: 'Loading', curve: 'Curve' }
